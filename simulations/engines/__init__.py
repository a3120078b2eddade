"""Ways to run the app: in this process, through `flwr run` and Ray, and as a deployment on loopback."""
