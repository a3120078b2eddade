"""The Flower app: LeNet-5-Caffe trained federated on MNIST, compressed by the mod and decoded by the wrapper."""
