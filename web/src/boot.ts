import { mount } from "./main";

const root = document.getElementById("nucleate");
if (root) mount(root);
