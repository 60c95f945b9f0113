"""Transfer methods, which apply an encoder to a task, and the estimators that users fit."""
