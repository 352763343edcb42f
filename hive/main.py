"""The hive process: `rbee hive run`, or `python -m hive.main --kind queen` for the queen's own worker.

A Celery worker on the hive's queues, with a heartbeat, a control listener and a narrator beside it.
"""

import argparse
import logging
import os
import sys
import threading
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from celery import Celery, signals
from celery.exceptions import SecurityWarning

from hive import identity, probes
from hive.boot import boot
from hive.catalog import ModelCatalog
from hive.control import LISTEN, Control
from hive.disk import Disk
from hive.download import Bandwidth, Downloader, Origins
from hive.heartbeat import Heart
from hive.heartbeat import Machine as Known
from hive.housekeeping import Housekeeping
from hive.identity import Identity
from hive.lanes import Lanes
from hive.left_over import deliver_left_over
from hive.narrator import Narrator
from hive.operations import OPERATIONS
from hive.outbox import Outbox
from hive.probes.machine import Machine
from hive.queen_client import QueenClient
from hive.runner import Runner
from hive.settings import HiveSettings
from hive.tasks import register
from hive.vendors import ENDPOINT, standard_vendors
from hive.workshop import Workshop
from shared.broker import celery_app, consumer_queues, redis_client
from shared.errors import SettingsError
from shared.operations import LANE_WIDTHS
from shared.protocol import HiveFacts, HiveSample
from shared.routing import hive_queue

log = logging.getLogger(__name__)

END_WITHIN = 7.0
"""Seconds that running jobs get to checkpoint after SIGTERM."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
REFUSED = 3
"""Exit code when the queen refuses this identity."""


def describe_machine(settings: HiveSettings, folder: Path, *, operations: list[str]) -> HiveFacts:
    """What this hive tells of itself when it joins and later; one without operations offers no capability either."""
    facts = probes.probe(Machine(data_dir=folder), settings.capabilities)
    facts["capabilities"] = facts["capabilities"] if operations else []
    return HiveFacts(**facts, operations=operations, lanes=dict(LANE_WIDTHS), version=version("rbee"))


class HiveProcess:
    """Everything one hive runs, wired together."""

    def __init__(self, settings: HiveSettings, who: Identity, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._operations = sorted(OPERATIONS) if who.kind == "hive" else []
        self._boot = boot(folder / "run")
        self._queen = QueenClient(who)
        self._narrator = Narrator(redis_client(who.broker_url), who.id, folder / "run" / "narration")
        self._outbox = Outbox(folder / "run" / "outbox", self._queen)
        self._catalog = ModelCatalog(folder)
        self._housekeeping = Housekeeping(self._catalog, partial_days=settings.partial_days)
        self._runner = Runner(
            self._queen,
            self._narrator,
            self._outbox,
            self._workshop(),
            boot_id=self._boot.id,
            lanes=Lanes(),
        )
        self._control = Control(redis_client(who.broker_url, blocking=LISTEN), who.id, self._runner)
        self._heart = Heart(
            self._queen,
            self._runner,
            self._known(),
            boot_id=self._boot.id,
            previous_boot_id=self._boot.previous_id,
            refused=self._refuse,
        )
        self._celery = self._celery_app(who)
        self._ending: threading.Thread | None = None

    def run(self) -> int:
        """Until SIGTERM or SIGINT."""
        self._housekeeping.start()
        self._narrator.start()
        threading.Thread(target=self._come_alive, name="start", daemon=True).start()
        signals.worker_shutting_down.connect(self._begin_to_end, weak=False)
        worker = self._celery.Worker(
            pool="threads",
            concurrency=sum(LANE_WIDTHS.values()) + 2,
            loglevel=self._settings.log_level.upper(),
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
            quiet=True,
        )
        worker.start()
        self._end()
        return int(worker.exitcode or 0)

    def _come_alive(self) -> None:
        """First what an earlier life still owes the queen, then the first heartbeat."""
        deliver_left_over(self._outbox, self._narrator)
        self._heart.start()
        self._control.start()

    def _begin_to_end(self, **_: Any) -> None:
        """In a thread: Celery waits for its tasks, and they wait to be told."""
        if self._ending is None:
            self._ending = threading.Thread(
                target=self._runner.end, args=(END_WITHIN,), name="end", daemon=True
            )
            self._ending.start()

    def _end(self) -> None:
        self._begin_to_end()
        if self._ending is not None:
            self._ending.join(timeout=END_WITHIN + 1)
        self._heart.stop()
        self._control.stop()
        self._housekeeping.stop()
        self._narrator.close()

    def _refuse(self, reason: str) -> None:
        """The queen says that this identity is not ours: stop at once, and touch nothing that is somebody else's."""
        log.error("action=refused reason=%s", reason)
        os._exit(REFUSED)

    def _workshop(self) -> Workshop:
        settings = self._settings
        downloader = Downloader(
            origins=Origins([*settings.http_hosts, *_hosts_of(settings.hf_endpoint)]),
            bandwidth=Bandwidth(settings.bandwidth or None),
            disk=Disk(self._folder),
            connections=settings.download_connections,
            stall_timeout=settings.stall_seconds,
            user_agent=f"rbee/{version('rbee')}",
        )
        vendors = standard_vendors(hub_endpoint=settings.hf_endpoint, local_roots=settings.local_roots)
        return Workshop(self._queen, self._catalog, downloader, vendors)

    def _known(self) -> Known:
        machine = Machine(data_dir=self._folder)
        last: dict[str, Any] = {}

        def facts() -> HiveFacts:
            found = describe_machine(self._settings, self._folder, operations=self._operations)
            last.update(found.model_dump())
            return found

        return Known(
            facts=facts,
            sample=lambda: HiveSample(**probes.sample(machine, last)),
            version=lambda: self._catalog.version,
            artifacts=lambda: list(self._catalog.inventory()),
        )

    def _celery_app(self, who: Identity) -> Celery:
        app = celery_app(f"hive-{who.id}", who.broker_url, hive_id=who.id)
        capabilities = probes.probe(Machine(data_dir=self._folder), self._settings.capabilities)[
            "capabilities"
        ]
        queues = [hive_queue(who.id), *(capabilities if who.kind == "hive" else [])]
        app.conf.task_queues = consumer_queues(queues)
        register(app, self._runner)
        return app


def _hosts_of(endpoint: str) -> tuple[str, ...]:
    """What a configured hub may be plain http and private for: its host, on any port, as a mirror keeps its store on another one.

    A hub on loopback is this machine by any of its names. The public default is nothing special.
    """
    host = urlsplit(endpoint).hostname or ""
    if endpoint == ENDPOINT:
        return ()
    return LOOPBACK if host in {"127.0.0.1", "localhost", "::1"} else (host,)


def _set_up_logging(level: str) -> None:
    """Celery tells each message it takes; our own log says what came of it."""
    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s %(message)s")
    if level != "debug":
        for name in ("celery.worker.strategy", "celery.app.trace", "celery.worker.consumer.connection"):
            logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=SecurityWarning)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="rbee hive run")
    parser.add_argument("--kind", choices=["hive", "queen"], default="hive")
    kind = parser.parse_args(argv).kind
    try:
        settings = HiveSettings.load()
        _set_up_logging(settings.log_level)
        folder = settings.hive_dir if kind == "hive" else settings.data_dir / "queen" / "worker"
        return HiveProcess(settings, identity.load(folder), folder).run()
    except SettingsError as error:
        print(f"rbee: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"      {error.hint}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
