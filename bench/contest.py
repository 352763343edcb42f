"""Downloads of one file by rbee and by what people use instead, round by round in changing order."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench.context import Context
from bench.nginx import Nginx
from bench.processes import MIB, StackMeter, Timing, peak_rss, pss, reset_peak, timed
from bench.quantiles import median
from bench.sampling import Sampler
from shared.ids import safe_id
from tests.stack import ROOT, Stack

NAME = "model.gguf"
REPOSITORY = "bench/model"
_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_MIB = 1 << 20

Contestant = Callable[[], Timing]


def make_file(folder: Path, size: int) -> str:
    """Random bytes that begin as a GGUF file does; returns their SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with (folder / NAME).open("wb") as file:
        for at in range(0, size, _MIB):
            block = os.urandom(min(_MIB, size - at))
            block = b"GGUF" + block[4:] if at == 0 else block
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def server(folder: Path, files: Path, sha256: str, size: int, rate: str = "") -> Nginx:
    """The file at its name, and as Hugging Face would serve it. `rate` is nginx's limit of a connection."""
    limit = f"limit_rate {rate};" if rate else ""
    hub = "\n".join(
        f"add_header {name} '{value}' always;"
        for name, value in {
            "ETag": f'"{sha256}"',
            "X-Repo-Commit": _COMMIT,
            "X-Linked-Size": size,
            "X-Linked-Etag": f'"{sha256}"',
        }.items()
    )
    about = f'{{"id": "{REPOSITORY}", "sha": "{_COMMIT}", "siblings": [{{"rfilename": "{NAME}"}}]}}'
    return Nginx(
        folder,
        f"""server {{
            listen 127.0.0.1:{{port}};
            root {files};
            {limit}
            location ~ ^/{REPOSITORY}/resolve/[^/]+/(?<file>.+)$ {{ alias {files}/$file; etag off; {hub} }}
            location /api/models/ {{ default_type application/json; return 200 '{about}'; }}
        }}""",
    )


class Contest:
    """One file on one server, fetched by everybody."""

    def __init__(self, context: Context, stack: Stack, nginx: Nginx, sha256: str, size: int) -> None:
        self._context = context
        self._stack = stack
        self._nginx = nginx
        self._sha256 = sha256
        self._size = size
        self._url = f"http://127.0.0.1:{nginx.port}/{NAME}"
        self._folder = context.folder / "fetched"
        self.stack_cpu: list[dict[str, float]] = []

    def rbee_job(self) -> Timing:
        """From the POST to `end`, with everything that rbee is."""
        stack = self._stack
        path = stack.data_dir / "hive" / "models" / safe_id(self._url) / "files" / NAME
        meter = StackMeter(stack)
        job_id = stack.submit("model_download", model=self._url, sha256=self._sha256)
        state = wait_end(stack, job_id)
        subprocess.run(["sync", str(path)], check=True)
        timing = Timing(meter.wall, sum(meter.read().values()))
        self.stack_cpu.append(meter.read())
        assert state == "completed", stack.job(job_id)
        wait_end(stack, stack.submit("model_delete", model=self._url))
        return timing

    def rbee_downloader(self) -> Timing:
        """The downloader alone, in a process that starts for it."""
        python = [
            sys.executable,
            "-m",
            "bench.fetch_once",
            self._url,
            str(self._fresh()),
            self._sha256,
            str(self._size),
        ]
        return timed(python, ["sync", str(self._folder / NAME)], env={**os.environ, "PYTHONPATH": str(ROOT)})

    def curl(self) -> Timing:
        path = str(self._fresh() / NAME)
        return timed(
            ["curl", "-s", "-o", path, self._url], ["openssl", "dgst", "-sha256", path], ["sync", path]
        )

    def aria2(self, *more: str) -> Timing:
        argv = [
            "aria2c",
            "-q",
            "-x8",
            *more,
            f"--checksum=sha-256={self._sha256}",
            "-d",
            str(self._fresh()),
            "-o",
            NAME,
        ]
        return timed([*argv, self._url], ["sync", str(self._folder / NAME)])

    def hf(self) -> Timing:
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_ENDPOINT": f"http://127.0.0.1:{self._nginx.port}",
            "HF_HOME": str(self._context.folder / "hf-home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        program = str(Path(sys.executable).with_name("hf"))
        argv = [program, "download", REPOSITORY, NAME, "--local-dir", str(self._fresh())]
        return timed(argv, ["sync", str(self._folder / NAME)], env=env)

    def race(self, contestants: dict[str, Contestant], rounds: int) -> dict[str, list[Timing]]:
        """Everybody once unmeasured, then `rounds` rounds, each begun by another one."""
        times: dict[str, list[Timing]] = {name: [] for name in contestants}
        names = list(contestants)
        for number in range(-1, rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                self._clear()
                timing = contestants[name]()
                if number >= 0:
                    times[name].append(timing)
            if number >= 0:
                last = ", ".join(f"{name} {timings[-1].wall:.2f} s" for name, timings in times.items())
                self._context.say(f"round {number + 1} of {rounds}: {last}")
        self.stack_cpu = self.stack_cpu[-rounds:]
        return times

    def peak_memory(self) -> tuple[float, float]:
        """MiB of the hive in one more job: the greatest PSS seen, and the kernel's high-water mark of RSS."""
        pid = self._stack.pid("hive")
        self._clear()
        reset_peak(pid)
        with Sampler(lambda: pss(pid), every=0.1) as seen:
            self.rbee_job()
        return max(seen.values) / MIB, peak_rss(pid) / MIB

    def _fresh(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def _clear(self) -> None:
        """Nothing of the one before is left to be written when the next one starts."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._folder)
        os.sync()


def wait_end(stack: Stack, job_id: str) -> str:
    """Follows the job as a page does; returns its last state."""
    with stack.stream(f"/v1/jobs/{job_id}/stream") as events:
        for event in events:
            if event["event"] == "end":
                return str(event["data"]["state"])
    return str(stack.job(job_id)["state"])


def ratio(times: dict[str, list[Timing]], ours: str, theirs: str) -> float:
    """The median of the ratios of each round."""
    return median([a.wall / b.wall for a, b in zip(times[ours], times[theirs], strict=True)])
