"""How well models tell malignant from benign, from the predictions in records. Nothing here imports Keras.

- `scored`: predictions put together by seed and fold; the threshold of validation.
- `resampling`: resamples of patients, and intervals from them.
- `metrics`: one row a metric.
- `estimates`: metrics with intervals beside the majority class; their part of the page.
- `agreement`: whether the backend changes the diagnosis.
- `premium`: what a leaky split would have claimed more.
- `curves`: points of ROC and calibration curves, which `bcdl.plots` draws.
- `card`: model cards.
"""
