"""How well a comparator does on labelled samples: figures, plots and calibrations. No torch."""
