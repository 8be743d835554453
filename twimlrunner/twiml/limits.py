"""Every number that bounds a document or its run. Pure.

Vendor limits are cited; the others keep hostile or broken input cheap.
"""

from __future__ import annotations

from typing import Final

# A document.
DOCUMENT_BYTES: Final = 64 * 1024  # webhooks.md section 1, error 11750
ELEMENTS: Final = 1000  # bounds the time a document costs the event loop (10 ms at worst)
ATTRIBUTES: Final = 100  # of one element; the language's longest list has 40
DEPTH: Final = 24  # Response, verb, noun and nested SSML; deeper is no language but an attack
ISSUES: Final = 50  # per document; further warnings are dropped, the last one says so
QUOTED_VALUE: Final = 60  # characters of a customer's value repeated in a message

# Say and Play (twiml-voice.md section 2).
SAY_BASIC_CHARACTERS: Final = 4096
SAY_POLLY_CHARACTERS: Final = 3000
ENDLESS_LOOPS: Final = 1000  # what loop="0" means
PLAY_DIGITS: Final = 256

# Gather.
HINTS: Final = 500
HINT_CHARACTERS: Final = 100
BUFFERED_DIGITS: Final = 1024
GATHERED_DIGITS: Final = 1024  # of one Gather without numDigits: somebody leans on a key

# Dial and its nouns (twiml-voice.md section 3).
DIAL_TIMEOUT: Final = (5, 600)
DIAL_TIME_LIMIT: Final = (1, 86_400)
DIALLED_NOUNS: Final = 10
CONFERENCE_NAME: Final = 128
CONFERENCE_PARTICIPANTS: Final = (2, 250)
PARTICIPANT_LABEL: Final = 128
QUEUE_NAME: Final = 64
QUEUE_SIZE: Final = (1, 5000)
SIP_URIS: Final = 10
SIP_HEADERS: Final = 20
SIP_HEADERS_CHARACTERS: Final = 1024  # errors.md, 21227
SIP_CREDENTIAL: Final = 255  # errors.md, 21221
CALLER_ID: Final = 255
CALL_REASON: Final = 50

# Record.
RECORD_MAX_LENGTH: Final = (2, 86_400)
RECORD_DEFAULT_LENGTH: Final = 3600
RECORD_TRANSCRIBED_LENGTH: Final = 120

# Streams (twiml-voice.md section 5).
STREAM_PARAMETERS_CHARACTERS: Final = 500

# A program: the cap on fetches without anything heard between them (twiml-voice.md section 1).
IDLE_DOCUMENTS: Final = 200
IDLE_SECONDS: Final = 1.0  # a document that ran shorter than this was idle
FETCHES_PER_SECOND: Final = 10
