"""nginx on loopback, in the foreground, with a configuration of ours and nothing of the system's."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from bench.context import need
from bench.processes import cpu_seconds, end, pss
from tests.stack import free_port

NCHAN = "ngx_nchan_module.so"


class Nginx:
    """`servers` are server blocks with `{port}` for the first free port, `{port2}` for a second one."""

    def __init__(self, folder: Path, servers: str, *, modules: tuple[Path, ...] = ()) -> None:
        need("nginx")
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.port2 = free_port(), free_port()
        loads = "".join(f"load_module {module};\n" for module in modules)
        user = "user root;\n" if os.geteuid() == 0 else ""
        body = servers.replace("{port}", str(self.port)).replace("{port2}", str(self.port2))
        self._config = folder / "nginx.conf"
        self._config.write_text(
            f"{loads}{user}daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
            "events { worker_connections 4096; }\n"
            "http {\naccess_log off;\nsendfile on;\ntcp_nopush on;\ndefault_type application/octet-stream;\n"
            + "".join(
                f"{kind}_temp_path {folder}/{kind};\n"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + body
            + "\n}\n"
        )
        self._folder = folder

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu(self) -> float:
        return cpu_seconds(self.pid)

    def pss(self) -> int:
        return pss(self.pid)

    def __enter__(self) -> Self:
        argv = [shutil.which("nginx") or "nginx", "-p", str(self._folder), "-c", str(self._config)]
        self._process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.02)
        end(self._process)
        raise RuntimeError((self._folder / "error.log").read_text()[-500:])

    def __exit__(self, *_: object) -> None:
        end(self._process)


def nchan_module() -> Path | None:
    """Where the system keeps the nchan module, if it has it."""
    folders = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/lib/nginx/modules")
    return next((Path(folder) / NCHAN for folder in folders if (Path(folder) / NCHAN).exists()), None)
