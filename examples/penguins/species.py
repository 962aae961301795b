# offload: cpus=1 memory=1Gi
"""Tell penguin species apart by bill and flipper; bootstrap the accuracy; a table and a plot.

offload run species.py --neighbours 5
"""

import argparse
import csv

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

FEATURES = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm"]
COLOURS = {"Adelie": "#e07b39", "Chinstrap": "#8e5ea2", "Gentoo": "#2a7f86"}


def read(path):
    """Features (n x 3, standardised) and species of every penguin that was measured."""
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if "NA" not in [row[name] for name in FEATURES]]
    raw = np.array([[float(row[name]) for name in FEATURES] for row in rows])
    return raw, (raw - raw.mean(0)) / raw.std(0), np.array([row["species"] for row in rows])


def leave_one_out(features, species, neighbours):
    """The species that each penguin's nearest neighbours vote for."""
    distance = ((features[:, None] - features[None]) ** 2).sum(-1)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1)[:, :neighbours]
    names = np.unique(species)
    votes = (species[nearest][..., None] == names).sum(1)
    return names[votes.argmax(1)]


parser = argparse.ArgumentParser()
parser.add_argument("--neighbours", type=int, default=5)
options = parser.parse_args()

raw, features, species = read("penguins.csv")
guessed = leave_one_out(features, species, options.neighbours)

random = np.random.default_rng(1)
right = guessed == species
accuracy = [right[random.integers(0, len(right), len(right))].mean() for _ in range(2000)]
low, high = np.percentile(accuracy, [2.5, 97.5])

print(f"Species of {len(species)} penguins by their {options.neighbours} nearest neighbours\n")
print(f"{'species':<11}{'penguins':>9}{'right':>7}{'share':>8}")
with open("species.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["species", "penguins", "right", "share"])
    for name in np.unique(species):
        of_name = species == name
        row = [name, int(of_name.sum()), int(right[of_name].sum()), f"{right[of_name].mean():.3f}"]
        table.writerow(row)
        print(f"{row[0]:<11}{row[1]:>9}{row[2]:>7}{row[3]:>8}")
print(f"\nAccuracy {right.mean():.3f}, 95 % interval {low:.3f} to {high:.3f}")

figure, axes = plt.subplots(figsize=(7.5, 5), dpi=120)
for name, colour in COLOURS.items():
    of_name = species == name
    axes.scatter(*raw[of_name][:, [2, 0]].T, s=18, color=colour, label=name)
axes.scatter(*raw[~right][:, [2, 0]].T, s=90, facecolors="none", edgecolors="black", label="mistaken")
axes.set(xlabel="flipper length (mm)", ylabel="bill length (mm)")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
figure.savefig("species.png")
