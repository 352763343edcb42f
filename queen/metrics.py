"""What Prometheus may ask of a queen."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from sqlmodel import func, select

from queen import hives
from queen.rows import Job
from queen.services import Services
from shared.states import JobState


def exposition(services: Services, now: float) -> bytes:
    """Gauges read from the rows at the moment of the question."""
    registry = CollectorRegistry()
    jobs = Gauge("rbee_jobs", "Jobs by state", ["state"], registry=registry)
    fleet = Gauge("rbee_hives", "Hives by presence", ["presence"], registry=registry)
    free = Gauge("rbee_hive_disk_free_bytes", "Free disk of a hive", ["hive"], registry=registry)
    readers = Gauge("rbee_stream_readers", "Open event streams of this process", registry=registry)
    with services.database.read() as session:
        counted: dict[str, int] = dict(
            session.exec(select(Job.state, func.count()).group_by(Job.state)).all()
        )
        members = hives.members(session)
    for state in JobState:
        jobs.labels(state).set(counted.get(state, 0))
    online = sum(hives.is_online(hive, now) for hive in members)
    fleet.labels("online").set(online)
    fleet.labels("offline").set(len(members) - online)
    for hive in members:
        free.labels(hive.name).set(hive.facts.get("disk_free", 0))
    readers.set(services.hub.readers)
    return generate_latest(registry)
