// Offers to print, where there is something that can.
const button = document.getElementById("print");
button.hidden = false;
button.addEventListener("click", () => print());
