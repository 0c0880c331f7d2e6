"""Whatever can answer a case. Each module turns one kind of model into `core.Model`; none knows about thresholds or records."""
