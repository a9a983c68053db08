-- The message of a call that failed does not count.

local state = trusted()
if not state then return {'attach'} end
if state == 'rebuilding' then return {'recovering'} end
give_back(call.process, call.request)
return {'ok'}
