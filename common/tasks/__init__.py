"""What is trained: models, transforms, losses, metrics; one file a task."""
