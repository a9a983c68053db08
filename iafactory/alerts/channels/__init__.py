"""Where alerts go. A new channel is one file here and one entry in this list."""

from .base import Channel, ChannelFailed, Note
from .console import Console
from .email import Email
from .telegram import Telegram
from .webhook import Webhook
from .whatsapp import WhatsApp

__all__ = ["CHANNELS", "Channel", "ChannelFailed", "Note", "configured_channels"]

CHANNELS: tuple[Channel, ...] = (Console(), Email(), Webhook(), Telegram(), WhatsApp())


def configured_channels() -> list[Channel]:
    return [channel for channel in CHANNELS if channel.configured()]
