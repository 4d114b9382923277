<?php
// tool.php - a script beside the front controller.
echo 'tool ', $_SERVER['SCRIPT_NAME'], ' ', $_SERVER['PATH_INFO'] ?? '-', "\n";
