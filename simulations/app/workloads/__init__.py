"""All workloads, by the names that the command line gives them: a new one is a file and a line here."""

from simulations.app.workloads import bn_cnn, lenet5, lora, mlp, resnet20, transformer, vgg
from simulations.app.workloads.workload import Workload

WORKLOADS: dict[str, Workload] = {
    "lenet5": lenet5.WORKLOAD,
    "bn-cnn": bn_cnn.WORKLOAD,
    "resnet20": resnet20.WORKLOAD,
    "vgg": vgg.WORKLOAD,
    "mlp": mlp.WORKLOAD,
    "transformer": transformer.WORKLOAD,
    "lora": lora.WORKLOAD,
}
