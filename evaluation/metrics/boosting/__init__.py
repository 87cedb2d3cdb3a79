"""scikit-learn's gradient-boosted trees, grown exactly and fast, for DCI."""
