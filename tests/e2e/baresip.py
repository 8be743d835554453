"""baresip as a phone without sound card: it plays a file and dumps what it hears to another."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.e2e.server import DOMAIN, PASSWORD, USER, Server, free_port, wait_for
from tests.e2e.sound import tone

CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{port}
net_interface 127.0.0.1
audio_player aubridge,heard
audio_source aufile,{folder}/spoken.wav
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
module_path {modules}
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp account.so
module_app menu.so
snd_path {folder}
"""
MODULES = ("/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules")


class Baresip:
    """One call, dialled at once; it ends when the server hangs up."""

    def __init__(self, server: Server, folder: Path, *, transport: str, codec: str) -> None:
        self.folder = folder
        modules = next(name for name in MODULES if Path(name).is_dir())
        (folder / "config").write_text(
            CONFIG.format(port=free_port(), folder=folder, modules=modules)
        )
        (folder / "accounts").write_text(
            f"<sip:{USER}@{DOMAIN};transport={transport}>;auth_user={USER};auth_pass={PASSWORD};"
            f'regint=0;audio_codecs={codec};outbound="sip:127.0.0.1:{server.sip_port};'
            f'transport={transport}"\n'
        )
        (folder / "contacts").write_text("")
        (folder / "spoken.wav").write_bytes(tone(440.0, 20, 8000))
        self._output = folder / "baresip.log"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                ["baresip", "-f", str(folder), "-s", "-e", f"/dial sip:100@{DOMAIN}"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def output(self) -> str:
        return self._output.read_text("utf-8", "replace")

    def wait_until_over(self, seconds: float = 25.0) -> None:
        wait_for("end of baresip's call", lambda: "session closed" in self.output, seconds)

    def heard(self) -> Path:
        """The dump of the decoder, complete once baresip has been closed."""
        return next(self.folder.glob("dump-*-dec.wav"))

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
