"""Fine-tuning of the aggregated extractor on the labels of other datasets (stage 2)."""
