"""Media workers as the node sees them."""

from sipserver.media.protocol import WorkerConfig
from sipserver.mediapool.pool import MediaPool, PoolLoad
from sipserver.mediapool.recording import RecordEnd, RecordOperation, RecordSpec
from sipserver.mediapool.session_proxy import NoMedia, Operation, SessionProxy

__all__ = [
    "MediaPool",
    "NoMedia",
    "Operation",
    "PoolLoad",
    "RecordEnd",
    "RecordOperation",
    "RecordSpec",
    "SessionProxy",
    "WorkerConfig",
]
