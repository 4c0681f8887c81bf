/** Starts the app in the page that loads it: over HTTP, or from the data in the page itself. */
import { EmbeddedSource, HttpSource } from "./core";
import { mount } from "./main";

const embedded = document.querySelector('[id^="data:"]') !== null;
const root = document.getElementById("nucleate");
if (root) mount(root, embedded ? new EmbeddedSource() : new HttpSource());
