"""Kinds of clusters. Each backend is one folder, keeps *n* runners of a pool alive, and knows no other."""
