"""Ray clusters and jobs, the skeleton of a step, progress and MLflow."""
