"""How an encoder reaches a task, and the estimators that users fit."""
