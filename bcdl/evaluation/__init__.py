"""How well models distinguish malignant from benign, and how near the device's limit they ran: from records alone.

- `quality`: what a worker computes from a split's scores and labels.
- `scored`: predictions put together by seed and fold; the threshold of validation; resamples of patients.
- `metrics`: one row a metric.
- `estimates`: metrics with intervals beside the majority class.
- `agreement`: whether the backend changes the diagnosis.
- `leakage_premium`: what a leaky split would have claimed more.
- `curves`: points of ROC and calibration curves, which `bcdl.report.plots` draws.
- `utilisation`: share of the device's limit, and places under the roofline.
"""
