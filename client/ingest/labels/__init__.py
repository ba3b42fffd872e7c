"""Segmentations, contours, masks and class tables, matched to their scans."""
