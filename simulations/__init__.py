"""The Flower app that measures surp-fl: LeNet-5-Caffe, federated, on MNIST. Nothing imports it.

lenet.py       the model
data.py        images and who holds which
training.py    local work and evaluation
schemes.py     the table of schemes for the command line
settings.py    everything one run depends on
client_app.py  the ClientApp, with the mod
server_app.py  the ServerApp, with the wrapped strategy
engine.py      a Flower Grid inside this process
flower.py      the same app through `flwr run` and Ray
compare.py     the command: runs the table, shows progress
tune.py        one grid of levers for every scheme, on held-out images
reproduce.py   the whole protocol: tunes, then runs every scheme as it was tuned
results.py     rows, and results.json
tables.py      rows as table.md and summary.md
plots.py       rows as pictures
overview.py    all parts of the protocol in one table and one picture
bench.py       speed of the codec beside its peers
messages.py    error at equal bytes, and what the bits say, on recorded updates
gate.py        SuRP beside STC at six budgets
fuzz.py        broken messages against the decoders
readme.py      results into the READMEs
"""
