"use strict";
// Goes on to the sign-in, taking along what stands after "#", which browsers never send.
const link = document.getElementById("continue");
const address = new URL(link.href);
if (location.hash.length > 1) {
  address.searchParams.set("fragment", location.hash.slice(1));
}
location.replace(address);
