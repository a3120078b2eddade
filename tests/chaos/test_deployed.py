"""The deployment's account, in this process; and a few rounds in processes of Flower, two of which are killed."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from surp_fl.testing import InProcessGrid, as_server
from tests.chaos import deployed_client, deployed_server
from tests.chaos.deployed_server import saved
from tests.chaos.deployment import Deployment
from tests.chaos.journal import Account, Entry, Round, read, write
from tests.chaos.ledger import Broken
from tests.chaos.models import plain, trained


def run_app(folder: Path, rounds: int) -> None:
    """Run the deployment's app in this process, with new states, as a new run has; every fifth reply is lost."""
    config: dict[str, float | int | str] = {
        "journal": str(folder),
        "rounds": rounds,
        "clients": 3,
        "seed": 0,
        "begin": 0,
        "timeout": 9.0,
    }
    replies = itertools.count(1)
    with as_server():
        grid = InProcessGrid(
            deployed_client.app,
            3,
            {**config, "troubles": False},
            lambda reply: reply if next(replies) % 5 else None,
        )
        deployed_server.app(grid, Context(1, 1, {}, RecordDict(), dict(config)))


def test_the_journal_of_a_deployment_is_a_true_account_and_shows_a_false_one(tmp_path: Path) -> None:
    run_app(tmp_path, 4)
    run_app(tmp_path, 8)
    size = trained(plain()).size
    assert Account.of(tmp_path, size) == Account(rounds=8, messages=24, applied=20, older_states=3)
    assert [each.session_round for each in read(tmp_path, Round, "round-*.npz")] == [
        *range(1, 9)
    ]  # the process lives on
    entry: Entry = read(tmp_path, Entry, "said-*.npz")[11]  # the last one of the first server
    (name,) = tmp_path.glob(f"said-{entry.turn}-*.npz")
    for change, finds in (
        ({"sent": 2 * entry.sent}, r"wanted = sent \+ residual"),
        ({"sent": 2 * entry.sent, "residual": entry.residual - entry.sent}, "is not what was applied"),
        ({"applied": 0, "before": 0, "residual": entry.delta - entry.sent}, "was told that its message of round 0"),
    ):
        write(tmp_path, name.stem, dataclasses.replace(entry, **change))
        with pytest.raises(Broken, match=finds):
            Account.of(tmp_path, size)
    write(tmp_path, name.stem, entry)


@pytest.mark.slow
@pytest.mark.deployment
@pytest.mark.xdist_group("servers")
def test_a_deployment_goes_on_when_a_supernode_and_the_server_are_killed(tmp_path: Path) -> None:
    with Deployment(tmp_path, clients=2, seed=0, timeout=30.0) as deployed:
        deployed.run(3, {1: "server killed", 2: "SuperNode killed"})
        assert saved(deployed.journal)[1] >= 3
        assert deployed.happened["server killed"] == deployed.happened["SuperNode killed"] == 1
    account = Account.of(deployed.journal, trained(plain()).size)
    sessions = {each.session for each in read(deployed.journal, Round, "round-*.npz")}
    assert account.applied >= 3
    assert len(sessions) == 2
