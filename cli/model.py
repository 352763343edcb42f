"""`rbee model`: what lies on the hives, and bringing it there."""

import click

from cli import naming, options, quantities, running, screen, targets
from cli.queen_api import QueenApi, connect
from shared.errors import InvalidRequest, NotFound
from shared.ids import canonical_model_id

Holding = dict[str, str]


@click.group()
def model() -> None:
    """Download, list, verify and remove models.

    \b
    A model is named by what its vendor calls it:
      org/repo  org/repo:file.gguf  https://host/file.gguf  file:///path/file.gguf
    """


@model.command()
@options.model_argument
@click.option("--revision", help="Branch, tag or commit; else the vendor's default.")
@click.option("--sha256", help="What the one file must hash to.")
@options.targets
@click.option("-d", "--detach", is_flag=True, help="Print the job's id and leave.")
@options.as_json
def download(
    *,
    model: str,
    revision: str | None,
    sha256: str | None,
    hive: str | None,
    capability: str | None,
    everywhere: bool,
    detach: bool,
    as_json: bool,
) -> int:
    """Download a model onto a hive, and watch.

    Without --hive, --capability and --all it goes to the only hive that is online; where several are, the queen
    chooses among those with CUDA, else with Metal, else among all. Ctrl-C leaves the download running.
    """
    api = connect()
    target = targets.said(api, hive, capability, everywhere) or targets.obvious(api)
    given = {"model": model, "revision": revision, "sha256": sha256}
    answer = running.submit(api, "model_download", {k: v for k, v in given.items() if v}, target)
    return running.run(api, [answer], detach=detach, as_json=as_json)


@model.command("ls")
@click.option("--hive", metavar="NAME", shell_complete=options.complete_hive, help="Only on this hive.")
@options.as_json
def list_models(hive: str | None, as_json: bool) -> None:
    """List the models on the hives."""
    api = connect()
    wanted = naming.find_hive(api, hive)["id"] if hive else None
    items = [
        item
        for item in api.get("/v1/artifacts")["items"]
        if item["kind"] == "model" and wanted in {None, item["hive_id"]}
    ]
    if as_json:
        screen.document({"items": items})
        return
    if not items:
        screen.say("There are no models yet. Bring one: rbee model download org/repo", err=True)
        return
    names = naming.hive_names(api)
    rows = (
        (
            item["id"],
            names.get(item["hive_id"], item["hive"]),
            screen.state(item["status"]),
            quantities.size(item.get("size") or None),
            item.get("quantization") or "",
            quantities.ago(item.get("added_at")),
        )
        for item in items
    )
    screen.table(("MODEL", "HIVE", "STATE", "SIZE", "QUANT", "ADDED"), rows, elastic="MODEL")


@model.command("rm")
@options.known_model_argument
@click.option("--hive", metavar="NAME", shell_complete=options.complete_hive, help="On this hive.")
@click.option("--all", "everywhere", is_flag=True, help="On every hive that has it.")
@options.as_json
def remove(model: str, hive: str | None, everywhere: bool, as_json: bool) -> int:
    """Delete a model from the hive that has it; where several have it, say which, or --all."""
    api = connect()
    holders = _holders(api, model, hive)
    if len(holders) > 1 and not everywhere:
        names = naming.hive_names(api)
        raise InvalidRequest(
            f"Several hives have it: {', '.join(names.get(one, one) for one in holders)}.",
            hint="Name one with --hive, or take --all.",
        )
    return _on_each(api, "model_delete", model, holders, as_json)


@model.command()
@options.known_model_argument
@click.option("--hive", metavar="NAME", shell_complete=options.complete_hive, help="On this hive only.")
@options.as_json
def verify(model: str, hive: str | None, as_json: bool) -> int:
    """Hash a model's files again, on every hive that has it."""
    api = connect()
    return _on_each(api, "model_verify", model, _holders(api, model, hive), as_json)


def _holders(api: QueenApi, model: str, hive: str | None) -> list[str]:
    """Ids of the hives that have it, or the named one, whatever it has. Raises NotFound."""
    if hive:
        return [naming.find_hive(api, hive)["id"]]
    wanted = canonical_model_id(model)
    found = [
        item["hive_id"]
        for item in api.get("/v1/artifacts")["items"]
        if item["kind"] == "model" and item["id"] == wanted
    ]
    if not found:
        raise NotFound(f"No hive has {model}.", hint="List what there is: rbee model ls")
    return found


def _on_each(api: QueenApi, operation: str, model: str, hives: list[str], as_json: bool) -> int:
    submitted = [running.submit(api, operation, {"model": model}, {"hive": hive}) for hive in hives]
    return running.run(api, submitted, detach=False, as_json=as_json)
