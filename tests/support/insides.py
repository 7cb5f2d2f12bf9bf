"""What tests look at inside an emulator, in one place."""

from frame_async.emulator import Emulator
from frame_async.emulator.state.sessions import Session, Sessions


def sessions_of(emulator: Emulator) -> Sessions:
    """The sessions that an emulator keeps."""
    return emulator._state.sessions


def only_session_of(emulator: Emulator) -> Session:
    """The one session that an emulator keeps."""
    (session,) = sessions_of(emulator).oldest()
    return session
