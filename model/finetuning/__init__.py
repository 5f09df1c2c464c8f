"""What is fitted on top of a pretrained checkpoint."""
