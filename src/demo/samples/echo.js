// Talks to the WebSocket at this page's own address and shows what comes back.
const state = document.getElementById("state");
const log = document.getElementById("log");
const message = document.getElementById("message");
const address = new URL(location.pathname, location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";

const socket = new WebSocket(address);
socket.addEventListener("open", () => { state.textContent = "open"; });
socket.addEventListener("close", (event) => { state.textContent = `closed (${event.code})`; });
socket.addEventListener("message", (event) => {
  const line = document.createElement("li");
  line.textContent = event.data;
  log.append(line);
});
document.getElementById("say").addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket.readyState === WebSocket.OPEN) {
    socket.send(message.value);
    message.value = "";
  }
});
