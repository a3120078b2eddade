"""All pictures, drawn from committed rows."""

from simulations.report.plots.comparison import accuracy_vs_bytes, bytes_to_accuracy
from simulations.report.plots.messages import contents_of_messages, surp_beside_stc
from simulations.report.plots.overview import accuracy_at_budgets

__all__ = ["accuracy_at_budgets", "accuracy_vs_bytes", "bytes_to_accuracy", "contents_of_messages", "surp_beside_stc"]
