// Loaded before anything is painted, so that a page that was made dark is never light first.
{
  const theme = localStorage.getItem("atelier.theme");
  if (theme) document.documentElement.dataset.theme = theme;
  if (location.pathname.startsWith("/draw/")) document.documentElement.dataset.mode = "link";
}
