"""The pages. Each has a folder, and Streamlit runs the page.py in it."""
