"""The leaderboard as static pages, which `bench site` writes for any web host."""
