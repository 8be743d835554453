"""baresip as a phone without sound card: it plays a file and dumps what it hears to another."""

from __future__ import annotations

import functools
import json
import socket
import subprocess
from pathlib import Path

from tests.e2e.server import DOMAIN, PASSWORD, USER, Listening, wait_for
from tests.e2e.sound import tone
from tests.ports import Block, free_port

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
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
rtp_ports {rtp_first}-{rtp_last}
snd_path {folder}
"""
# All phones of this process share a range, for each takes what it finds free there.
_rtp_ports = functools.cache(lambda: Block().rest())
MODULES = ("/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules")


class Baresip:
    """A phone that speaks a tone. It dials at once, or with ``dial`` empty answers by itself."""

    def __init__(self, server: Listening, folder: Path, *, transport: str, codec: str,
                 user: str = USER, dial: str = f"sip:100@{DOMAIN}", frequency: float = 440.0,
                 register: bool = False) -> None:  # fmt: skip
        self.folder = folder
        self._control = free_port()
        rtp_first, rtp_last = _rtp_ports()
        folder.mkdir(exist_ok=True)
        modules = next(name for name in MODULES if Path(name).is_dir())
        (folder / "config").write_text(
            CONFIG.format(
                port=free_port(),
                control=self._control,
                folder=folder,
                modules=modules,
                rtp_first=rtp_first,
                rtp_last=rtp_last,
            )
        )
        (folder / "accounts").write_text(
            f"<sip:{user}@{DOMAIN};transport={transport}>;auth_user={user};auth_pass={PASSWORD};"
            f"regint={3600 if register else 0};answermode={'manual' if dial else 'auto'};"
            f'audio_codecs={codec};outbound="sip:127.0.0.1:{server.sip_port};'
            f'transport={transport}"\n'
        )
        (folder / "contacts").write_text("")
        (folder / "spoken.wav").write_bytes(tone(frequency, 30, 8000))
        self._output = folder / "baresip.log"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                ["baresip", "-f", str(folder), "-s", *(["-e", f"/dial {dial}"] if dial else [])],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def output(self) -> str:
        return self._output.read_text("utf-8", "replace")

    def wait_until(self, what: str, seconds: float = 30.0) -> None:
        try:
            wait_for(f"baresip: {what}", lambda: what in self.output, seconds)
        except AssertionError as error:
            error.add_note(self.output)
            raise

    def wait_until_over(self, seconds: float = 45.0) -> None:
        wait_for("end of baresip's call", lambda: "session closed" in self.output, seconds)

    def press(self, key: str) -> None:
        """A key of the keypad, by RFC 4733."""
        command = json.dumps({"command": "sndcode", "params": key})
        with socket.create_connection(("127.0.0.1", self._control), 30) as control:
            control.sendall(f"{len(command)}:{command},".encode())  # a netstring
            control.recv(4096)

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
