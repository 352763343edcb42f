"""One download by the hive's downloader alone: `python -m bench.fetch_once URL FOLDER SHA256 SIZE`."""

import sys
from pathlib import Path

from hive.disk import Disk
from hive.download import Downloader, Origins
from hive.stop import Stop
from shared.plan import Plan, PlannedFile


def main() -> None:
    url, folder, sha256, size = sys.argv[1:]
    file = PlannedFile(path=url.rsplit("/", 1)[-1], url=url, size=int(size), sha256=sha256)
    downloader = Downloader(origins=Origins(["127.0.0.1"]), disk=Disk(Path(folder)))
    for _ in downloader.fetch(Plan(vendor="url", model=url, files=[file]), Path(folder), stop=Stop()):
        pass


if __name__ == "__main__":
    main()
