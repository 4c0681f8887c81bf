"""Views: figures, the one-file report, and what a run shows in plain words."""

from nucleate.views._curves import accuracy_curves as accuracy_curves
from nucleate.views._curves import cluster_curves as cluster_curves
from nucleate.views._curves import curves_figure as curves_figure
from nucleate.views._figures import write_figures as write_figures
from nucleate.views._maps import causal_map_figure as causal_map_figure
from nucleate.views._maps import heat_map as heat_map
from nucleate.views._maps import heat_maps_figure as heat_maps_figure
from nucleate.views._pictures import label_dots as label_dots
from nucleate.views._pictures import labels_figure as labels_figure
from nucleate.views._pictures import picture as picture
from nucleate.views._pictures import pictures_figure as pictures_figure
from nucleate.views._projection import Basis as Basis
from nucleate.views._projection import Frame as Frame
from nucleate.views._projection import picture_basis as picture_basis
from nucleate.views._projection import picture_table as picture_table
from nucleate.views._projection import project as project
from nucleate.views._report import write_report as write_report
from nucleate.views._run_report import RunReport as RunReport
from nucleate.views._style import figure_style as figure_style
