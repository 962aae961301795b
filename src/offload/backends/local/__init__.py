"""This machine: detached runners, admitted by its CPUs, memory and GPUs."""
