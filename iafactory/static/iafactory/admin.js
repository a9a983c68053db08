// Unfold under a policy that forbids inline styles. Styles set through the object model are allowed; as an attribute
// or an element they are not, so htmx adds none of its own and Alpine's strings go the other way.
htmx.config.includeIndicatorStyles = false;

const setAttribute = Element.prototype.setAttribute;
Element.prototype.setAttribute = function (name, value) {
  if (name === "style" && this.style) {
    this.style.cssText = value;
  } else {
    setAttribute.call(this, name, value);
  }
};
