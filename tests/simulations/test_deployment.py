"""A SuperLink and SuperNodes on loopback, one of them killed and replaced; bytes counted on the wire."""

from __future__ import annotations

import threading
from collections import Counter
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.benchmarks import server as bench_server
from simulations.engines import deployment
from simulations.engines.proxy import CountingProxy, Wire
from simulations.experiments.deployment import account
from simulations.report.deployment import table

pytestmark = [pytest.mark.xdist_group("servers"), pytest.mark.deployment]


def test_a_killed_supernode_costs_its_reply_and_the_next_one_joins(capfd: pytest.CaptureFixture[str]) -> None:
    settings = Settings(
        scheme="surp:218", rounds=3, clients=2, dataset="digits", local_steps=2, batch_size=16
    )  # LeNet-5: a dense reply has 1.7 MB
    with deployment.Deployment(clients=2) as deployed:
        row, wires = deployed.run(settings, kill_in_round=2)
    assert row.failures == 1
    replies = zip([2, 1, 2], row.payload_bytes_up_by_round, strict=True)
    assert row.payload_bytes_up == pytest.approx(sum(count * size for count, size in replies))
    figures = account(row, wires)
    assert figures["replies"] == 5
    assert len(figures["wire_bytes_up_by_round"]) == len(figures["wire_bytes_down_by_round"]) == 3
    # A reply's four requests hold ids of the run and of the node, drawn anew each time: varints of 9 or 10 bytes.
    # 4,889 to 4,902 bytes were seen.
    assert figures["payload_bytes_up"] < figures["record_bytes_up"] < figures["wire_bytes_reply_up"] < 4_910, figures
    assert figures["wire_bytes_broadcast_down"] * 6 > 5 * 0.8 * 1_724_320  # six turns, in five the model was fetched
    assert figures["requests"]["push-messages"] == pytest.approx(5 / 6, abs=0.001)
    assert figures["requests"]["push-object"] == pytest.approx(3 * 5 / 6, abs=0.001)
    assert "surp 218 B" in table([figures])


def test_nothing_but_changes_and_as_few_requests_as_can_be_go_over_a_real_wire() -> None:
    settings = Settings(
        scheme="surp:218", downlink="surp:2000", rounds=2, clients=2, dataset="digits", local_steps=2, batch_size=16,
        fraction_evaluate=1.0, evaluate_with_train=True, known_initial=True,
    )  # fmt: skip
    with deployment.Deployment(clients=2) as deployed:
        row, wires = deployed.run(settings)
    figures = account(row, wires)
    assert (row.failures, row.models_down) == (0, 0)
    assert row.payload_bytes_down <= 2 * (0 + 2_000 + 2_000)  # the second model to train, the third to evaluate alone
    for path, objects in (
        ("push-messages", 1),
        ("push-object", 3),
        ("pull-object", 3),
        ("confirm-message-received", 1),
    ):
        assert figures["requests"][path] == objects * 3 / 2, path  # three exchanges in two rounds, in place of four
    assert "initial model made by clients, evaluated with training" in table([figures])


def test_what_is_fetched_before_the_log_says_so_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Proxy:
        up = 0

        def so_far(self) -> Wire:
            return Wire(up=Counter({"/": self.up}))

    deployed, proxy = deployment.Deployment(clients=1), Proxy()
    deployed.env, deployed.folder, deployed.proxies = {}, Path(), cast(list[CountingProxy], [proxy])

    def run_app(*arguments: Any) -> Row:
        for line, before in (("[ROUND 1/2]", 10), ("[ROUND 2/2]", 200), ("Strategy execution finished", 3_000)):
            proxy.up += before
            arguments[-1](line)
        return cast(Row, None)

    monkeypatch.setattr(deployment, "run_app", run_app)
    _, wires = deployed.run(Settings())
    assert [wire.up.total() for wire in wires] == [210, 3_000]


def test_the_proxy_counts_every_byte_by_request() -> None:
    class Echo(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(2 * len(body)))
            self.end_headers()
            self.wfile.write(body + body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with CountingProxy(server.server_port) as proxy:
        connection = HTTPConnection("127.0.0.1", proxy.port)
        for path, size in (("/a", 10), ("/b?x=1", 200_000), ("/a", 30)):
            connection.request("POST", path, b"x" * size)
            assert len(connection.getresponse().read()) == 2 * size
        wire = proxy.so_far()
        connection.close()
    server.shutdown()
    assert dict(wire.requests) == {"/a": 2, "/b": 1}
    assert 200_000 < wire.up["/b"] < 200_300
    assert 400_000 < wire.down["/b"] < 400_300
    assert 40 < wire.up["/a"] < 40 + 600
    assert 80 < wire.down["/a"] < 80 + 600


def test_the_servers_bench_measures_both_ways(tmp_path: Path) -> None:
    assert bench_server.main(["--size", "60000", "--replies", "12", "--repeats", "1", "--out", str(tmp_path)]) == 0
    rows = bench_server.measure(60_000, 40, budget=100, repeats=1)
    models, pairs = (next(row for row in rows if row["way"] == way) for way in ("models", "pairs"))
    assert models["memory_in_vectors"] > models["replies"] > 10
    assert pairs["memory_in_vectors"] < models["memory_in_vectors"] / 2
    assert pairs["largest_difference_to_models"] < 1e-5 * pairs["largest_weight"]
    assert "their mean, summed up in pairs" in (tmp_path / "bench_server.md").read_text()
