"""Writes the scalers beside this file with the scikit-learn that runs it."""

import pickle
import sys
from pathlib import Path

import joblib
import numpy as np
import sklearn
from sklearn.preprocessing import StandardScaler

folder = Path(sys.argv[1])
targets = np.array([[40.0], [50.0], [62.0], [75.0]])
scaler = StandardScaler().fit(targets)
version = sklearn.__version__
for protocol in (2, 4, 5):
    data = pickle.dumps(scaler, protocol=protocol)
    (folder / f"sklearn-{version}-p{protocol}.pkl").write_bytes(data)
if version == "1.8.0":
    two = StandardScaler().fit(np.c_[targets, targets])
    (folder / "two-features.pkl").write_bytes(pickle.dumps(two))
    flat = StandardScaler(with_std=False).fit(targets)
    (folder / "without-std.pkl").write_bytes(pickle.dumps(flat))
    joblib.dump(scaler, folder / "joblib.pkl")
