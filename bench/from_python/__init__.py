"""What `import bench` offers to scripts and notebooks: tables, recorded runs, networks. docs/python.md describes it."""
