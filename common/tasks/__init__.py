"""What is trained: models, transforms, losses, metrics; one file a task."""

from fedvox.common.tasks.parts_of_monai import spare_the_rest

spare_the_rest()
