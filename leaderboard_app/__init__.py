"""The leaderboard in the browser: a Streamlit app that reads the store and writes nothing."""
