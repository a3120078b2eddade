"""All pictures, drawn from committed rows."""

from simulations.report.plots.bench_schemes import error_at_bytes
from simulations.report.plots.comparison import bytes_to_accuracy, score_vs_bytes
from simulations.report.plots.fleet import accuracy_at_fleet_bytes
from simulations.report.plots.messages import contents_of_messages, surp_beside_stc
from simulations.report.plots.model_files import accuracy_at_bytes
from simulations.report.plots.overview import accuracy_at_budgets
from simulations.report.plots.pruning import error_at_sparsities
from simulations.report.plots.refinement import along_iterations, fitted_densities
from simulations.report.plots.theory import distortion_against_rate, slopes_and_bounds
from simulations.report.plots.update_rates import error_at_bits

__all__ = [
    "accuracy_at_budgets",
    "accuracy_at_bytes",
    "accuracy_at_fleet_bytes",
    "along_iterations",
    "bytes_to_accuracy",
    "contents_of_messages",
    "distortion_against_rate",
    "error_at_bits",
    "error_at_bytes",
    "error_at_sparsities",
    "fitted_densities",
    "score_vs_bytes",
    "slopes_and_bounds",
    "surp_beside_stc",
]
