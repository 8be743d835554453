"""An estimate of how a G.711 call sounds."""

from __future__ import annotations

from math import log

_BASE = 93.2  # R factor without any impairment (ITU-T G.107 defaults)


def mean_opinion_score(*, loss: float, jitter_ms: float, rtt_ms: float) -> float:
    """MOS of 1 to 4.5. ``loss`` 0..1.

    The E-model as reduced by Cole and Rosenbluth ("Voice over IP performance monitoring", 2001):
    R = 93.2 - Id - Ie, Id = 0.024 d + 0.11 (d - 177.3) H(d - 177.3), Ie = 30 ln(1 + 15 loss) for
    G.711 with random loss; MOS from R by ITU-T G.107 annex B. The one-way delay d is half the
    round trip, a jitter buffer of twice the jitter, and one packet of 20 ms.
    """
    delay = rtt_ms / 2 + 2 * jitter_ms + 20
    factor = _BASE - 0.024 * delay - 0.11 * max(0.0, delay - 177.3) - 30 * log(1 + 15 * loss)
    if factor <= 0:
        return 1.0
    return round(1 + 0.035 * factor + 7e-6 * factor * (factor - 60) * (100 - factor), 2)
