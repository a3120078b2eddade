"""The Flower app that measures surp-fl: LeNet-5-Caffe, federated, on MNIST. Nothing but tests imports it.

app          the ClientApp, the ServerApp, their settings, model, data and training
apps         four example apps in the style of Flower's quickstarts, each with its compression as a diff
engines      ways to run the app: in this process, through `flwr run` and Ray, as a deployment on loopback
experiments  commands that run it: compare, tune, reproduce, messages, gate, flower, deployment; and the example apps
report       rows of results, and the tables, plots and README blocks that are made of them
benchmarks   speed, bytes and error of all schemes; memory of the codec and of the server
nncodec      a peer that runs in an environment of its own
results      what was measured, committed
"""
