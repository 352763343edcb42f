"""The one downloader: parallel ranges, a piece map on disk, verified before it is shown."""

from hive.download.bandwidth import Bandwidth
from hive.download.downloader import STATE, Downloader, clean_state
from hive.download.finished import FetchedFile
from hive.download.origins import Origins

__all__ = ["STATE", "Bandwidth", "Downloader", "FetchedFile", "Origins", "clean_state"]
