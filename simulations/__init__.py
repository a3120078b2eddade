"""The Flower app that measures surp-fl: LeNet-5-Caffe, federated, on MNIST. Nothing but tests imports it.

app          the ClientApp, the ServerApp, their settings, model, data and training
engine.py    a Flower Grid inside this process
engines      ways to run the app: in this process, through `flwr run` and Ray, as a deployment on loopback
experiments  commands that run it: compare, tune, reproduce, messages, gate, flower, deployment
report       rows of results, and the tables, plots and README blocks that are made of them
benchmarks   speed and memory of the codec and of the server
results      what was measured, committed
"""
